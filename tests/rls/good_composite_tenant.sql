-- The tenant is in every key.
-- probe: none
SET ROLE owner;
CREATE TABLE public.shops (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, org uuid NOT NULL, UNIQUE (user_id, org));
CREATE INDEX ON public.shops (user_id);
ALTER TABLE public.shops ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.shops TO authenticated;
CREATE POLICY own ON public.shops TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE TABLE public.sales (user_id uuid NOT NULL REFERENCES auth.users, number int NOT NULL, total int, PRIMARY KEY (user_id, number));
ALTER TABLE public.sales ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.sales TO authenticated;
CREATE POLICY own ON public.sales TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
