-- A policy that looks into another table.
-- probe: none
SET ROLE owner;
CREATE TABLE public.domains (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, name text);
CREATE INDEX ON public.domains (user_id);
ALTER TABLE public.domains ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.domains TO authenticated;
CREATE POLICY own ON public.domains TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE TABLE public.tasks (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), domain_id uuid NOT NULL REFERENCES public.domains);
CREATE INDEX ON public.tasks (domain_id);
ALTER TABLE public.tasks ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.tasks TO authenticated;
CREATE POLICY own ON public.tasks TO authenticated USING (EXISTS (SELECT FROM public.domains d WHERE d.id = domain_id AND d.user_id = (SELECT auth.uid()))) WITH CHECK (EXISTS (SELECT FROM public.domains d WHERE d.id = domain_id AND d.user_id = (SELECT auth.uid())));
