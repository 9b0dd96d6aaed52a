-- A view that may not be read, but rows can be removed through it.
-- expect: view_security_definer public.v
-- probe: leak public.notes through public.v
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, body text NOT NULL DEFAULT 'x');
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO authenticated;
CREATE POLICY own ON public.notes TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE VIEW public.v AS SELECT id, body FROM public.notes;
GRANT DELETE ON public.v TO authenticated;
