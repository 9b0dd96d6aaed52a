-- Who may see and change what. `(select auth.uid())` is computed once per statement, not per row.
GRANT SELECT, INSERT, UPDATE, DELETE ON public.domains, public.tasks TO authenticated;
GRANT SELECT, INSERT ON public.events TO authenticated;
GRANT ALL ON public.domains, public.tasks, public.events TO service_role;

CREATE POLICY domains_of_owner ON public.domains FOR ALL TO authenticated
    USING (owner_id = (SELECT auth.uid()))
    WITH CHECK (owner_id = (SELECT auth.uid()));

CREATE POLICY tasks_of_owner ON public.tasks FOR ALL TO authenticated
    USING (user_id = (SELECT auth.uid()))
    WITH CHECK (
        user_id = (SELECT auth.uid())
        -- Into one's own domains only: the foreign key alone would take anybody's.
        AND domain_id IN (SELECT id FROM public.domains WHERE owner_id = (SELECT auth.uid()))
    );

CREATE POLICY events_of_owner_read ON public.events FOR SELECT TO authenticated
    USING (user_id = (SELECT auth.uid()));
CREATE POLICY events_of_owner_write ON public.events FOR INSERT TO authenticated
    WITH CHECK (
        user_id = (SELECT auth.uid())
        AND domain_id IN (SELECT id FROM public.domains WHERE owner_id = (SELECT auth.uid()))
    );
