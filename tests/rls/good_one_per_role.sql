-- One policy for each role.
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users);
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.notes TO anon, authenticated;
CREATE POLICY a ON public.notes FOR SELECT TO anon USING (id = '00000000-0000-0000-0000-000000000000');
CREATE POLICY b ON public.notes FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
