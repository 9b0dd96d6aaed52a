-- coalesce gives nobody the row's own user.
-- expect: policy_uid_null public.notes: own
-- probe: leak public.notes
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users);
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.notes TO anon, authenticated;
CREATE POLICY own ON public.notes FOR SELECT TO anon, authenticated USING (user_id = coalesce((SELECT auth.uid()), user_id));
