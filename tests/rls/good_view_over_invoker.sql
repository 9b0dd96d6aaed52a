-- A view that asks as its owner, over one that asks as its reader: the one below decides.
-- probe: none
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, body text NOT NULL DEFAULT 'x');
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO authenticated;
CREATE POLICY own ON public.notes TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE VIEW public.inner_notes WITH (security_invoker = TRUE) AS SELECT id, body FROM public.notes;
GRANT SELECT ON public.inner_notes TO authenticated;
CREATE VIEW public.v AS SELECT id, body FROM public.inner_notes;
GRANT SELECT ON public.v TO authenticated;
