-- Row-level security was never switched on.
-- expect: rls_disabled public.notes
-- probe: leak public.notes
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users);
CREATE INDEX ON public.notes (user_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO authenticated;
