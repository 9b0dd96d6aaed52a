-- Users write their own user_metadata.
-- expect: policy_user_metadata public.notes: own
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users);
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.notes TO authenticated;
CREATE POLICY own ON public.notes FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()) OR (SELECT auth.jwt()) -> 'user_metadata' ->> 'admin' = 'yes');
