-- A privileged function finds names where users may make them.
-- expect: security_definer_exposed public.total()
-- expect: search_path_mutable public.total()
-- probe: influence public.total
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, body text NOT NULL DEFAULT 'x');
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO authenticated;
CREATE POLICY own ON public.notes TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE FUNCTION public.total() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tools, pg_temp AS 'SELECT count(*) FROM public.notes WHERE user_id = auth.uid()';
RESET ROLE;
CREATE SCHEMA tools;
GRANT USAGE, CREATE ON SCHEMA tools TO authenticated;
