-- A grant on one column is a way in.
-- expect: rls_disabled public.notes
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY, body text);
GRANT SELECT (body) ON public.notes TO authenticated;
