-- What the frontend asks first: /api/rpc/get_user_profile
CREATE FUNCTION public.get_user_profile() RETURNS jsonb
    LANGUAGE sql STABLE SECURITY INVOKER SET search_path = ''
AS $$
    SELECT jsonb_build_object(
        'id',      auth.uid(),
        'role',    auth.role(),
        'domains', (SELECT count(*) FROM public.domains),
        'tasks',   (SELECT count(*) FROM public.tasks WHERE NOT done)
    )
$$;
REVOKE ALL ON FUNCTION public.get_user_profile() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.get_user_profile() TO authenticated, service_role;
