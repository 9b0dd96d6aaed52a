-- Nobody counts as the owner of what nobody owns.
-- expect: policy_uid_null public.notes: own
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid REFERENCES auth.users, body text NOT NULL DEFAULT 'x');
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.notes TO authenticated;
CREATE POLICY own ON public.notes FOR SELECT TO authenticated USING (user_id IS NOT DISTINCT FROM (SELECT auth.uid()));
