-- A grant to write is enough, which a look at SELECT misses.
-- expect: rls_disabled public.notes
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users);
CREATE INDEX ON public.notes (user_id);
GRANT INSERT ON public.notes TO authenticated;
