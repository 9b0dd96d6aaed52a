-- A rule writes with its owner's rights.
-- expect: rule_runs_as_owner public.notes: tells
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, body text NOT NULL DEFAULT 'x');
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO authenticated;
CREATE POLICY own ON public.notes TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE TABLE public.log (id uuid);
CREATE RULE tells AS ON INSERT TO public.notes DO ALSO INSERT INTO public.log VALUES (new.id);
