-- A privileged function that asks who is calling.
-- expect: security_definer_exposed public.drop_note(note_id uuid)
-- probe: none
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, body text NOT NULL DEFAULT 'x');
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO authenticated;
CREATE POLICY own ON public.notes TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE FUNCTION public.drop_note(note_id uuid) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = '' AS 'WITH gone AS (DELETE FROM public.notes WHERE id = note_id AND user_id = auth.uid() RETURNING 1) SELECT count(*) FROM gone';
REVOKE EXECUTE ON FUNCTION public.drop_note(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.drop_note(uuid) TO authenticated;
