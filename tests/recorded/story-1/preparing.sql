PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE denials (
        service TEXT NOT NULL, image TEXT NOT NULL, reason TEXT NOT NULL, rollout TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (service, image));
CREATE TABLE drivers (
        rollout TEXT PRIMARY KEY REFERENCES rollouts, holder TEXT NOT NULL, seen_at REAL NOT NULL);
CREATE TABLE journal (
        rollout TEXT NOT NULL REFERENCES rollouts, seq INTEGER NOT NULL, at REAL NOT NULL, epoch INTEGER NOT NULL,
        kind TEXT NOT NULL, step TEXT NOT NULL, data TEXT NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL,
        PRIMARY KEY (rollout, seq)) WITHOUT ROWID;
INSERT INTO "journal" VALUES('shop-1-good',1,1767225600.0,0,'opened','','{"actor":"person","plan_hash":"a67e412952528db5ed71a95ff3c393e8770a2c96458ef00a9f4ffaa52cc21a7c","reason":""}','0000000000000000000000000000000000000000000000000000000000000000','e10d0ee037112fde27975c11df30dd44ebaea80bd001655b25e9ec2399821114');
INSERT INTO "journal" VALUES('shop-1-good',2,1767225600.0,1,'entered','preparing','{}','e10d0ee037112fde27975c11df30dd44ebaea80bd001655b25e9ec2399821114','3d517a03d3dc82f0b9c7bb8d17076c258341fe743792dc552a65cc6f4e869de1');
INSERT INTO "journal" VALUES('shop-1-good',3,1767225600.0,1,'waiting','preflight','{"deadline_at":null,"gate":"preflight","judged":{"discarded_s":0.0,"failures":0,"looked_at":null,"lost_s":0.0,"observed_s":0.0,"passes":0,"unknown_since":null},"rule":{"deadline_s":60.0,"failures":2,"interval_s":2.0,"passes":2,"soak_s":2.0,"unknown_limit_s":20.0}}','3d517a03d3dc82f0b9c7bb8d17076c258341fe743792dc552a65cc6f4e869de1','75d4f7b0ce428d5e652df3aa9e742a3103bc24f21eace626a59a492c2a93f429');
INSERT INTO "journal" VALUES('shop-1-good',4,1767225600.0,1,'verdict_changed','preflight','{"answer":"pass","check":"balancer","summary":"2 targets healthy, 2 needed"}','75d4f7b0ce428d5e652df3aa9e742a3103bc24f21eace626a59a492c2a93f429','c4f202be18b60d1ab99efee7d2c85232dd8278667d217743c2e27bdf65bc9de9');
CREATE TABLE rollouts (
        id TEXT PRIMARY KEY, service TEXT NOT NULL, key TEXT, plan TEXT NOT NULL, plan_hash TEXT NOT NULL,
        actor TEXT NOT NULL, reason TEXT NOT NULL, opened_at REAL NOT NULL, phase TEXT NOT NULL,
        outcome TEXT NOT NULL, closed_at REAL, head_seq INTEGER NOT NULL, head_hash TEXT NOT NULL,
        due_at REAL NOT NULL);
INSERT INTO "rollouts" VALUES('shop-1-good','shop',NULL,'{"app_version":null,"approval":"none","capacity":2,"coexist":"safe","deadlines":{"approval":300.0,"drain_limit":20.0,"drained":20.0,"gate":120.0,"healthy":60.0,"observed":40.0,"patch":120.0,"preflight":60.0,"running":60.0},"gates":{"bake":{"checks":[{"label":"balancer","name":"balancer","options":{}},{"label":"failed_responses","name":"failed_responses","options":{}}],"rule":{"deadline_s":60.0,"failures":2,"interval_s":2.0,"passes":2,"soak_s":2.0,"unknown_limit_s":20.0}},"live":{"checks":[{"label":"balancer","name":"balancer","options":{}},{"label":"failed_responses","name":"failed_responses","options":{}}],"rule":{"deadline_s":60.0,"failures":2,"interval_s":2.0,"passes":2,"soak_s":2.0,"unknown_limit_s":20.0}},"preflight":{"checks":[{"label":"balancer","name":"balancer","options":{}}],"rule":{"deadline_s":60.0,"failures":2,"interval_s":2.0,"passes":2,"soak_s":2.0,"unknown_limit_s":20.0}},"replacement":{"checks":[{"label":"balancer","name":"balancer","options":{}},{"label":"fidelity","name":"fidelity","options":{}}],"rule":{"deadline_s":60.0,"failures":2,"interval_s":2.0,"passes":2,"soak_s":2.0,"unknown_limit_s":20.0}}},"keep_warm_s":120.0,"made_at":1767225600.0,"on_rollback":"drain","original":"blue","original_fingerprint":{"firewall":"fw-shop","flavour":"sim.small","network":"sim-net"},"original_image":"base-1","patch":{"images":{"memory":"good"},"provenance":{"image":"good","source":"simulated cloud"},"reference":"good"},"provider":"memory","service":{"name":"shop","options":{}},"settle_s":2.0,"steps":[50,100],"story":1}','a67e412952528db5ed71a95ff3c393e8770a2c96458ef00a9f4ffaa52cc21a7c','person','',1767225600.0,'preparing','running',NULL,4,'c4f202be18b60d1ab99efee7d2c85232dd8278667d217743c2e27bdf65bc9de9',1767225602.0);
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
COMMIT;
