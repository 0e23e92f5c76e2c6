PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE deliveries (
        news INTEGER NOT NULL REFERENCES news ON DELETE CASCADE, target TEXT NOT NULL, state TEXT NOT NULL,
        tries INTEGER NOT NULL, due_at REAL NOT NULL, error TEXT NOT NULL, PRIMARY KEY (news, target));
CREATE TABLE denials (
        service TEXT NOT NULL, image TEXT NOT NULL, reason TEXT NOT NULL, rollout TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (service, image));
CREATE TABLE drivers (
        rollout TEXT PRIMARY KEY REFERENCES rollouts, holder TEXT NOT NULL, seen_at REAL NOT NULL);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE fleet_journal (
        seq INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, data TEXT NOT NULL,
        prev TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TABLE holds (
        service TEXT PRIMARY KEY, actor TEXT NOT NULL, reason TEXT NOT NULL, ref TEXT NOT NULL, at REAL NOT NULL,
        until REAL);
CREATE TABLE journal (
        rollout TEXT NOT NULL REFERENCES rollouts, seq INTEGER NOT NULL, at REAL NOT NULL, epoch INTEGER NOT NULL,
        kind TEXT NOT NULL, step TEXT NOT NULL, data TEXT NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL,
        PRIMARY KEY (rollout, seq)) WITHOUT ROWID;
INSERT INTO "journal" VALUES('shop-1-good',1,1767225600.0,0,'opened','','{"actor":"person","plan_hash":"c649e000c24ee758e2cb89602579e053c67cf11f391b740252f85dc024f2dd81","reason":"","ref":""}','0000000000000000000000000000000000000000000000000000000000000000','3e64b1b31b17d80efe270f4931fc8edbb93e45d165ad33f08937d928f1880517');
INSERT INTO "journal" VALUES('shop-1-good',2,1767225600.0,1,'entered','preparing','{}','3e64b1b31b17d80efe270f4931fc8edbb93e45d165ad33f08937d928f1880517','32c4edc6404d2909d0cfce61bd70ef7e9731dd806837c2fc3df08c6cc567b519');
INSERT INTO "journal" VALUES('shop-1-good',3,1767225600.0,1,'waiting','preflight','{"deadline_at":null,"gate":"preflight","judged":{"discarded_s":0.0,"failures":0,"looked_at":null,"lost_s":0.0,"observed_s":0.0,"passes":0,"unknown_since":null},"rule":{"deadline_s":60.0,"failures":2,"interval_s":2.0,"passes":2,"soak_s":2.0,"unknown_limit_s":20.0}}','32c4edc6404d2909d0cfce61bd70ef7e9731dd806837c2fc3df08c6cc567b519','7f4da69f9507be85cff439c68f541a1285c3691a16d69aa5d10ec37e11a22502');
INSERT INTO "journal" VALUES('shop-1-good',4,1767225600.0,1,'verdict_changed','preflight','{"answer":"pass","check":"balancer","summary":"2 targets healthy, 2 needed"}','7f4da69f9507be85cff439c68f541a1285c3691a16d69aa5d10ec37e11a22502','1c436772692a5e9a66a24faab50e9a5a83e6d4b1790cfcc14fec992d149ee1de');
CREATE TABLE news (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL, service TEXT NOT NULL,
        rollout TEXT NOT NULL, seq INTEGER NOT NULL, data TEXT NOT NULL);
CREATE TABLE rollouts (
        id TEXT PRIMARY KEY, service TEXT NOT NULL, key TEXT, plan TEXT NOT NULL, plan_hash TEXT NOT NULL,
        actor TEXT NOT NULL, reason TEXT NOT NULL, opened_at REAL NOT NULL, phase TEXT NOT NULL,
        outcome TEXT NOT NULL, closed_at REAL, head_seq INTEGER NOT NULL, head_hash TEXT NOT NULL,
        due_at REAL NOT NULL, pruned_at REAL);
INSERT INTO "rollouts" VALUES('shop-1-good','shop',NULL,'{"app_version":null,"approval":"none","capacity":2,"coexist":"safe","deadlines":{"approval":300.0,"drain_limit":20.0,"drained":20.0,"gate":120.0,"healthy":60.0,"observed":40.0,"patch":120.0,"preflight":60.0,"running":60.0},"gates":{"bake":{"checks":[{"label":"balancer","name":"balancer","options":{}},{"label":"failed_responses","name":"failed_responses","options":{}}],"rule":{"deadline_s":60.0,"failures":2,"interval_s":2.0,"passes":2,"soak_s":2.0,"unknown_limit_s":20.0}},"live":{"checks":[{"label":"balancer","name":"balancer","options":{}},{"label":"failed_responses","name":"failed_responses","options":{}}],"rule":{"deadline_s":60.0,"failures":2,"interval_s":2.0,"passes":2,"soak_s":2.0,"unknown_limit_s":20.0}},"preflight":{"checks":[{"label":"balancer","name":"balancer","options":{}}],"rule":{"deadline_s":60.0,"failures":2,"interval_s":2.0,"passes":2,"soak_s":2.0,"unknown_limit_s":20.0}},"replacement":{"checks":[{"label":"balancer","name":"balancer","options":{}},{"label":"fidelity","name":"fidelity","options":{}}],"rule":{"deadline_s":60.0,"failures":2,"interval_s":2.0,"passes":2,"soak_s":2.0,"unknown_limit_s":20.0}}},"keep_warm_s":120.0,"made_at":1767225600.0,"notice_s":3600.0,"on_rollback":"drain","original":"blue","original_fingerprint":{"firewall":"fw-shop","flavour":"sim.small","network":"sim-net"},"original_image":"base-1","patch":{"images":{"memory":"good"},"provenance":{"image":"good","source":"simulated cloud"},"reference":"good"},"provider":"memory","rollback_while_warm":false,"service":{"name":"shop","options":{}},"settle_s":2.0,"steps":[50,100],"story":2}','c649e000c24ee758e2cb89602579e053c67cf11f391b740252f85dc024f2dd81','person','',1767225600.0,'preparing','running',NULL,4,'1c436772692a5e9a66a24faab50e9a5a83e6d4b1790cfcc14fec992d149ee1de',1767225602.0,NULL);
CREATE TABLE servers (
        name TEXT PRIMARY KEY, holder TEXT NOT NULL, since REAL NOT NULL, seen_at REAL NOT NULL);
CREATE TABLE services (
        name TEXT PRIMARY KEY, epoch INTEGER NOT NULL DEFAULT 0, holder TEXT, lease_expires_at REAL);
INSERT INTO "services" VALUES('shop',1,NULL,NULL);
CREATE TABLE waits (
        rollout TEXT PRIMARY KEY REFERENCES rollouts, step TEXT NOT NULL, started_at REAL NOT NULL,
        deadline_at REAL, due_at REAL NOT NULL, state TEXT NOT NULL);
INSERT INTO "waits" VALUES('shop-1-good','preflight',1767225600.0,NULL,1767225602.0,'{"gate":"preflight","judged":{"discarded_s":0.0,"failures":0,"looked_at":1767225600.0,"lost_s":0.0,"observed_s":0.0,"passes":1,"unknown_since":null},"rule":{"deadline_s":60.0,"failures":2,"interval_s":2.0,"passes":2,"soak_s":2.0,"unknown_limit_s":20.0},"seen":"pass; 1 of 2 passes, 0 of 2 s","since":{"at":1767225600.0,"counters":{"blue":{"failed":0,"in_flight":10,"requests":0,"responses":{"2xx":0,"5xx":0}},"green":{"failed":0,"in_flight":0,"requests":0,"responses":{"2xx":0,"5xx":0}}},"counters_id":"shop-1","route":{"mark":null,"revision":"r1","weights":{"blue":100,"green":0}},"targets":{"blue":{"healthy":2,"reasons":[],"unhealthy":0,"unknown":0},"green":{"healthy":0,"reasons":[],"unhealthy":0,"unknown":0}}},"verdicts":{"balancer":{"answer":"pass","at":1767225600.0,"summary":"2 targets healthy, 2 needed"}}}');
CREATE UNIQUE INDEX claims ON rollouts (service) WHERE closed_at IS NULL;
CREATE UNIQUE INDEX keys ON rollouts (service, key) WHERE key IS NOT NULL;
CREATE INDEX due ON rollouts (due_at) WHERE closed_at IS NULL;
CREATE INDEX due_deliveries ON deliveries (due_at) WHERE state = 'due';
DELETE FROM "sqlite_sequence";
COMMIT;
