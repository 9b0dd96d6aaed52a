-- A token may name a role that nobody thinks of.
-- expect: rls_disabled public.notes
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, body text NOT NULL DEFAULT 'x');
CREATE INDEX ON public.notes (user_id);
GRANT USAGE ON SCHEMA public TO editor;
GRANT SELECT ON public.notes TO editor;
