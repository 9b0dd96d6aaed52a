-- A trigger makes every row its maker's, whoever was named.
-- probe: none
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, body text NOT NULL DEFAULT 'x');
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO authenticated;
CREATE POLICY own ON public.notes TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE FUNCTION public.mine() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.user_id := auth.uid(); RETURN new; END $$;
REVOKE EXECUTE ON FUNCTION public.mine() FROM PUBLIC;
CREATE TRIGGER mine BEFORE INSERT ON public.notes FOR EACH ROW EXECUTE FUNCTION public.mine();
