-- Domains (a user's areas of life and work), their tasks and events.
-- Row-level security is on from the beginning: without a policy nobody sees anything.
CREATE TABLE public.domains (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name       text NOT NULL CHECK (name <> ''),
    owner_id   uuid NOT NULL DEFAULT auth.uid(),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX domains_owner ON public.domains (owner_id);

CREATE TABLE public.tasks (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    domain_id  uuid NOT NULL REFERENCES public.domains (id) ON DELETE CASCADE,
    user_id    uuid NOT NULL DEFAULT auth.uid(),
    title      text NOT NULL CHECK (title <> ''),
    done       boolean NOT NULL DEFAULT false,
    due_at     timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX tasks_domain ON public.tasks (domain_id);
CREATE INDEX tasks_user ON public.tasks (user_id);

CREATE TABLE public.events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain_id  uuid NOT NULL REFERENCES public.domains (id) ON DELETE CASCADE,
    user_id    uuid NOT NULL DEFAULT auth.uid(),
    kind       text NOT NULL,
    payload    jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX events_domain ON public.events (domain_id);
CREATE INDEX events_user ON public.events (user_id);

ALTER TABLE public.domains ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.tasks   ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.events  ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.domains FORCE ROW LEVEL SECURITY;
ALTER TABLE public.tasks   FORCE ROW LEVEL SECURITY;
ALTER TABLE public.events  FORCE ROW LEVEL SECURITY;
