-- A function that returns everybody's rows.
-- expect: security_definer_exposed public.all_notes()
-- probe: leak public.all_notes
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users);
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO authenticated;
CREATE POLICY own ON public.notes TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE FUNCTION public.all_notes() RETURNS SETOF public.notes LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS 'SELECT * FROM public.notes';
