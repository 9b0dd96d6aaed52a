-- The owner is kept as text.
-- probe: none
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), writer text NOT NULL, body text);
CREATE INDEX ON public.notes (writer);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO authenticated;
CREATE POLICY own ON public.notes TO authenticated USING (writer = (SELECT auth.uid())::text) WITH CHECK (writer = (SELECT auth.uid())::text);
