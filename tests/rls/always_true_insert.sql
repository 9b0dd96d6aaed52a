-- Everybody may add rows for everybody.
-- expect: policy_always_true public.notes: add
-- probe: leak public.notes
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users);
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON public.notes TO authenticated;
CREATE POLICY see ON public.notes FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
CREATE POLICY add ON public.notes FOR INSERT TO authenticated WITH CHECK (true);
