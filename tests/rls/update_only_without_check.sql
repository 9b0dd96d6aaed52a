-- The same for UPDATE alone.
-- expect: missing_with_check public.notes: change
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users);
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, UPDATE ON public.notes TO authenticated;
CREATE POLICY see ON public.notes FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
CREATE POLICY change ON public.notes FOR UPDATE TO authenticated USING (user_id = (SELECT auth.uid()));
