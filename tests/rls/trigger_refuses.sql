-- Who has no `sub` may add rows for others; that a trigger's own table then refuses is no policy.
-- expect: policy_uid_null public.notes: own
-- probe: leak public.notes
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, body text NOT NULL DEFAULT 'x');
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO authenticated;
CREATE POLICY own ON public.notes TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()) OR (SELECT auth.uid()) IS NULL);
RESET ROLE;
CREATE SCHEMA notebook AUTHORIZATION owner;
SET ROLE owner;
CREATE TABLE notebook.notes (user_id uuid NOT NULL);
GRANT USAGE ON SCHEMA notebook TO authenticated;
GRANT INSERT ON notebook.notes TO authenticated;
CREATE FUNCTION public.tells() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO notebook.notes VALUES (auth.uid()); RETURN new; END $$;
REVOKE EXECUTE ON FUNCTION public.tells() FROM PUBLIC;
CREATE TRIGGER tells AFTER INSERT ON public.notes FOR EACH ROW EXECUTE FUNCTION public.tells();
