-- A grant to PUBLIC is one to everybody.
-- expect: rls_disabled public.notes
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users);
CREATE INDEX ON public.notes (user_id);
GRANT SELECT ON public.notes TO PUBLIC;
