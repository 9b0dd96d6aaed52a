-- Only one column may be read, and not the key: nobody can name a row, and all of them are seen.
-- expect: unindexed_policy_column public.notes: body
-- probe: leak public.notes
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, body text NOT NULL DEFAULT 'x');
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT (body) ON public.notes TO authenticated, anon;
CREATE POLICY few ON public.notes FOR SELECT TO anon, authenticated USING (body <> '');
