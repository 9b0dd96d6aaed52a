-- Published without row-level security.
-- expect: realtime_publication public.notes
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users);
CREATE INDEX ON public.notes (user_id);
RESET ROLE;
CREATE PUBLICATION p FOR TABLE public.notes;
