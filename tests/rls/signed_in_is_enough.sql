-- Everybody who has signed up sees everything.
-- expect: policy_any_user public.notes: signed
-- probe: leak public.notes
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, body text NOT NULL DEFAULT 'x');
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.notes TO authenticated;
CREATE POLICY signed ON public.notes FOR SELECT TO authenticated USING ((SELECT auth.role()) = 'authenticated');
