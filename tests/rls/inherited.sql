-- A child table that is granted itself.
-- expect: rls_disabled public.children
-- probe: leak public.children
SET ROLE owner;
CREATE TABLE public.parents (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users);
CREATE INDEX ON public.parents (user_id);
ALTER TABLE public.parents ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.parents TO authenticated;
CREATE POLICY own ON public.parents TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE TABLE public.children (age int) INHERITS (public.parents);
GRANT SELECT ON public.children TO authenticated;
