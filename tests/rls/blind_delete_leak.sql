-- Who may not see a row may still remove it, when the policy for DELETE is wider.
-- probe: leak public.notes
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users);
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO authenticated;
CREATE POLICY see ON public.notes FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
CREATE POLICY remove ON public.notes FOR DELETE TO authenticated USING (id IS NOT NULL);
