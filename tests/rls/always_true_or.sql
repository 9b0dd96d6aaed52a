-- true OR something is true.
-- expect: policy_always_true public.notes: own
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users);
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.notes TO authenticated;
CREATE POLICY own ON public.notes FOR SELECT TO authenticated USING (true OR user_id = (SELECT auth.uid()));
