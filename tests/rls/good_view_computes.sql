-- A view that shows nobody's rows.
SET ROLE owner;
CREATE VIEW public.today AS SELECT current_date AS day;
GRANT SELECT ON public.today TO anon;
