"""Workers are told at once when a rollout is due at another time than before: PostgreSQL says so when it commits.

`LISTEN rollout_due`; the payload is the rollout's id. Only a hint: who missed it finds the rollout when it looks.
"""

from __future__ import annotations

CHANNEL = "rollout_due"
NOT_DUE = "9e15"
WAKING = (
    f"""
    CREATE FUNCTION tell_rollout_due() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('{CHANNEL}', NEW.id);
        RETURN NULL;
    END $$
    """,
    f"""
    CREATE TRIGGER rollout_due AFTER INSERT OR UPDATE OF due_at ON rollouts FOR EACH ROW
        WHEN (NEW.closed_at IS NULL AND NEW.due_at < {NOT_DUE}) EXECUTE FUNCTION tell_rollout_due()
    """,
)
