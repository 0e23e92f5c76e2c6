"""The store's tables, as numbered migrations; a released one never changes.

Written for SQLite; rollout/stores/dialect.py says which words PostgreSQL takes for others.
"""

MIGRATIONS = (
    """
    CREATE TABLE services (
        name TEXT PRIMARY KEY, epoch INTEGER NOT NULL DEFAULT 0, holder TEXT, lease_expires_at REAL);
    CREATE TABLE rollouts (
        id TEXT PRIMARY KEY, service TEXT NOT NULL, key TEXT, plan TEXT NOT NULL, plan_hash TEXT NOT NULL,
        actor TEXT NOT NULL, reason TEXT NOT NULL, opened_at REAL NOT NULL, phase TEXT NOT NULL,
        outcome TEXT NOT NULL, closed_at REAL, head_seq INTEGER NOT NULL, head_hash TEXT NOT NULL,
        due_at REAL NOT NULL);
    CREATE UNIQUE INDEX claims ON rollouts (service) WHERE closed_at IS NULL;
    CREATE UNIQUE INDEX keys ON rollouts (service, key) WHERE key IS NOT NULL;
    CREATE INDEX due ON rollouts (due_at) WHERE closed_at IS NULL;
    CREATE TABLE journal (
        rollout TEXT NOT NULL REFERENCES rollouts, seq INTEGER NOT NULL, at REAL NOT NULL, epoch INTEGER NOT NULL,
        kind TEXT NOT NULL, step TEXT NOT NULL, data TEXT NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL,
        PRIMARY KEY (rollout, seq)) WITHOUT ROWID;
    CREATE TABLE waits (
        rollout TEXT PRIMARY KEY REFERENCES rollouts, step TEXT NOT NULL, started_at REAL NOT NULL,
        deadline_at REAL, due_at REAL NOT NULL, state TEXT NOT NULL);
    CREATE TABLE drivers (
        rollout TEXT PRIMARY KEY REFERENCES rollouts, holder TEXT NOT NULL, seen_at REAL NOT NULL);
    CREATE TABLE denials (
        service TEXT NOT NULL, image TEXT NOT NULL, reason TEXT NOT NULL, rollout TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (service, image));
    """,
    """
    ALTER TABLE rollouts ADD COLUMN pruned_at REAL;
    CREATE TABLE fleet_journal (
        seq INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, data TEXT NOT NULL,
        prev TEXT NOT NULL, hash TEXT NOT NULL);
    CREATE TABLE holds (
        service TEXT PRIMARY KEY, actor TEXT NOT NULL, reason TEXT NOT NULL, ref TEXT NOT NULL, at REAL NOT NULL,
        until REAL);
    CREATE TABLE servers (
        name TEXT PRIMARY KEY, holder TEXT NOT NULL, since REAL NOT NULL, seen_at REAL NOT NULL);
    CREATE TABLE news (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL, service TEXT NOT NULL,
        rollout TEXT NOT NULL, seq INTEGER NOT NULL, data TEXT NOT NULL);
    CREATE TABLE deliveries (
        news INTEGER NOT NULL REFERENCES news ON DELETE CASCADE, target TEXT NOT NULL, state TEXT NOT NULL,
        tries INTEGER NOT NULL, due_at REAL NOT NULL, error TEXT NOT NULL, PRIMARY KEY (news, target));
    CREATE INDEX due_deliveries ON deliveries (due_at) WHERE state = 'due';
    CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    """,
    """
    ALTER TABLE rollouts ADD COLUMN number INTEGER;
    /* sqlite */ UPDATE rollouts SET number = rowid;
    CREATE UNIQUE INDEX order_of_rollouts ON rollouts (number);
    """,
    """
    CREATE TABLE campaign_runs (
        id TEXT PRIMARY KEY, number INTEGER NOT NULL, campaign TEXT NOT NULL, key TEXT, plan TEXT NOT NULL,
        plan_hash TEXT NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL, ref TEXT NOT NULL, started_at REAL NOT NULL,
        state TEXT NOT NULL, said TEXT NOT NULL, said_by TEXT NOT NULL, rollouts INTEGER NOT NULL, marks TEXT NOT NULL,
        forgiven TEXT NOT NULL, ended_at REAL, turn INTEGER NOT NULL, holder TEXT, seen_at REAL NOT NULL);
    CREATE UNIQUE INDEX campaign_claims ON campaign_runs (campaign) WHERE ended_at IS NULL;
    CREATE UNIQUE INDEX campaign_keys ON campaign_runs (campaign, key) WHERE key IS NOT NULL;
    CREATE TABLE campaign_members (
        run TEXT NOT NULL REFERENCES campaign_runs, service TEXT NOT NULL, wave TEXT NOT NULL,
        position INTEGER NOT NULL, rollout TEXT NOT NULL, hosts INTEGER, skipped TEXT NOT NULL, why TEXT NOT NULL,
        tries INTEGER NOT NULL, not_before REAL NOT NULL, PRIMARY KEY (run, service));
    CREATE INDEX campaign_services ON campaign_members (service);
    """,
    """
    CREATE INDEX decisions ON journal (rollout) WHERE kind = 'roll_back_decided';
    """,
)
