-- A function that gives what belongs to a name, whoever asks.
-- expect: security_definer_exposed public.find_note(slug text)
-- probe: leak public.find_note
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, slug text NOT NULL, body text NOT NULL);
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO authenticated;
CREATE POLICY own ON public.notes TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE FUNCTION public.find_note(slug text) RETURNS TABLE (text_of_it text) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS 'SELECT n.body FROM public.notes n WHERE n.slug = $1';
