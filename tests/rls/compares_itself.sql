-- The column of the policy's table is found in the table of the subquery: everybody with any team sees all.
-- expect: policy_compares_itself public.bills: team
SET ROLE owner;
CREATE TABLE public.members (org uuid NOT NULL, user_id uuid NOT NULL REFERENCES auth.users, PRIMARY KEY (org, user_id));
CREATE INDEX ON public.members (user_id);
ALTER TABLE public.members ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.members TO authenticated;
CREATE POLICY own ON public.members FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
CREATE TABLE public.bills (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), org uuid NOT NULL, user_id uuid NOT NULL REFERENCES auth.users);
CREATE INDEX ON public.bills (org);
ALTER TABLE public.bills ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.bills TO authenticated;
CREATE POLICY team ON public.bills FOR SELECT TO authenticated USING (EXISTS (SELECT 1 FROM public.members m WHERE m.org = org AND m.user_id = (SELECT auth.uid())));
