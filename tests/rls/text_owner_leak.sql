-- The owner is kept as text, and anybody may write in their name.
-- probe: leak public.notes
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), writer text NOT NULL, body text);
CREATE INDEX ON public.notes (writer);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON public.notes TO authenticated;
CREATE POLICY own ON public.notes FOR SELECT TO authenticated USING (writer = (SELECT auth.jwt() ->> 'sub'));
CREATE POLICY writes ON public.notes FOR INSERT TO authenticated WITH CHECK (writer <> '');
