-- Tenants by a claim of the token.
-- probe: none
SET ROLE owner;
CREATE TABLE public.bills (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid NOT NULL, total int);
CREATE INDEX ON public.bills (tenant_id);
ALTER TABLE public.bills ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.bills TO authenticated;
CREATE POLICY own ON public.bills TO authenticated USING (tenant_id = (SELECT (auth.jwt() -> 'app_metadata' ->> 'tenant_id')::uuid)) WITH CHECK (tenant_id = (SELECT (auth.jwt() -> 'app_metadata' ->> 'tenant_id')::uuid));
