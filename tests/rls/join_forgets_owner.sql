-- The join asks whether the domain is there, and not whose it is.
-- expect: security_definer_exposed public.is_domain(uuid)
-- probe: leak public.tasks
-- probe: influence public.is_domain
SET ROLE owner;
CREATE TABLE public.domains (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, name text);
CREATE INDEX ON public.domains (user_id);
ALTER TABLE public.domains ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.domains TO authenticated;
CREATE POLICY own ON public.domains TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE TABLE public.tasks (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), domain_id uuid NOT NULL REFERENCES public.domains);
CREATE INDEX ON public.tasks (domain_id);
ALTER TABLE public.tasks ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON public.tasks TO authenticated;
GRANT SELECT ON public.domains TO anon;
CREATE FUNCTION public.is_domain(uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS 'SELECT EXISTS (SELECT FROM public.domains d WHERE d.id = $1)';
CREATE POLICY own ON public.tasks TO authenticated USING (public.is_domain(domain_id)) WITH CHECK (public.is_domain(domain_id));
