-- A privileged trigger that speaks of UPDATE and INSERT and writes nothing elsewhere.
-- probe: none
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, body text NOT NULL DEFAULT 'x');
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO authenticated;
CREATE POLICY own ON public.notes TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE FUNCTION public.stamp() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
-- insert into nothing
DECLARE mine uuid; BEGIN
    IF TG_OP = 'UPDATE' THEN SELECT id INTO mine FROM public.notes WHERE id = new.id FOR UPDATE; END IF;
    RETURN new;
END $$;
REVOKE EXECUTE ON FUNCTION public.stamp() FROM PUBLIC;
CREATE TRIGGER stamps BEFORE UPDATE ON public.notes FOR EACH ROW EXECUTE FUNCTION public.stamp();
