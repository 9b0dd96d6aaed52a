-- All users of the API are one database role.
-- expect: policy_current_user public.notes: own
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY, writer text NOT NULL);
CREATE INDEX ON public.notes (writer);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.notes TO authenticated;
CREATE POLICY own ON public.notes FOR SELECT TO authenticated USING (writer = current_user);
