-- A reference tells whether a row of somebody else exists.
-- expect: unique_without_tenant public.domains: domains_pkey
-- expect: fkey_oracle public.tasks: tasks_domain_fkey
-- probe: oracle public.tasks
-- probe: oracle public.domains
SET ROLE owner;
CREATE TABLE public.domains (id text PRIMARY KEY DEFAULT md5(random()::text), user_id uuid NOT NULL REFERENCES auth.users, name text);
CREATE INDEX ON public.domains (user_id);
ALTER TABLE public.domains ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.domains TO authenticated;
CREATE POLICY own ON public.domains TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE TABLE public.tasks (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, domain text NOT NULL REFERENCES public.domains);
CREATE INDEX ON public.tasks (user_id);
ALTER TABLE public.tasks ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON public.tasks TO authenticated;
CREATE POLICY own ON public.tasks TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
