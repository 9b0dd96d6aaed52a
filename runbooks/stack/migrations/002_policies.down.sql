-- ccrun: reversible
DROP POLICY events_of_owner_write ON public.events;
DROP POLICY events_of_owner_read ON public.events;
DROP POLICY tasks_of_owner ON public.tasks;
DROP POLICY domains_of_owner ON public.domains;
REVOKE ALL ON public.domains, public.tasks, public.events FROM authenticated, service_role;
