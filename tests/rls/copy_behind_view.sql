-- A view over a materialized one in a schema out of sight.
-- expect: view_security_definer public.v
-- probe: none
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, body text NOT NULL DEFAULT 'x');
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO authenticated;
CREATE POLICY own ON public.notes TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
RESET ROLE;
CREATE SCHEMA internal AUTHORIZATION owner;
GRANT USAGE ON SCHEMA internal TO authenticated;
SET ROLE owner;
CREATE MATERIALIZED VIEW internal.copy AS SELECT id, body FROM public.notes;
GRANT SELECT ON internal.copy TO authenticated;
CREATE VIEW public.v WITH (security_invoker = true) AS SELECT id, body FROM internal.copy;
GRANT SELECT ON public.v TO authenticated;
