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
INSERT INTO "journal" VALUES('shop-1-good',5,1767225602.0,2,'ended','preflight','{"outcome":"passed","verdicts":[{"answer":"pass","check":"balancer","evidence":{"healthy":2,"needed":2,"reasons":[],"unhealthy":0,"unknown":0},"finding":"pass","severity":1.0,"summary":"2 targets healthy, 2 needed"}],"why":"2 passes, 2 s observed"}','1c436772692a5e9a66a24faab50e9a5a83e6d4b1790cfcc14fec992d149ee1de','b4f3cbd435570a5277021a5c93d6c0a2a12cefd248f61365ba4f40093a84d742');
INSERT INTO "journal" VALUES('shop-1-good',6,1767225602.0,2,'done','capture','{"value":{"environments":{"blue":{"app_version":null,"capacity":2,"fingerprint":{"firewall":"fw-shop","flavour":"sim.small","network":"sim-net"},"floor":0,"image":"base-1","owner":null,"slot":"blue"},"green":{"app_version":null,"capacity":0,"fingerprint":{},"floor":0,"image":null,"owner":null,"slot":"green"}},"healthy":2,"route":{"mark":null,"revision":"r1","weights":{"blue":100,"green":0}}}}','b4f3cbd435570a5277021a5c93d6c0a2a12cefd248f61365ba4f40093a84d742','f7e32cdf9be06833580336673820f63afb71e128cd3a102fbf8aa057d3e80be5');
INSERT INTO "journal" VALUES('shop-1-good',7,1767225602.0,2,'intended','card','{"args":{"app_version":null,"capacity":2,"closed":"","epoch":2,"original":"blue","provider":"memory","replacement":"green","rollout":"shop-1-good","service":"shop","target":{"cloud":"simulation","provider":"memory","service":"shop"},"valid_until":null,"was_healthy":true,"write_timeout_s":5.0,"written_at":1767225602.0},"attempt":1,"seen":{"mark":null,"revision":"r1","weights":{"blue":100,"green":0}},"token":"dff37da5a1f99a77fed5f599420fcfee"}','f7e32cdf9be06833580336673820f63afb71e128cd3a102fbf8aa057d3e80be5','cc6c3e2dd198ec9b1a3ffe02121e77500bbfc7d80a28dc871a08bcde2e5eb9ab');
INSERT INTO "journal" VALUES('shop-1-good',8,1767225602.0,2,'done','card','{"value":{"app_version":null,"capacity":2,"closed":"","epoch":2,"original":"blue","provider":"memory","replacement":"green","rollout":"shop-1-good","service":"shop","target":{"cloud":"simulation","provider":"memory","service":"shop"},"valid_until":null,"was_healthy":true,"write_timeout_s":5.0,"written_at":1767225602.0}}','cc6c3e2dd198ec9b1a3ffe02121e77500bbfc7d80a28dc871a08bcde2e5eb9ab','951297fb82b974500e4359dc03978967d70079705445eda4d65d0172643e3f5b');
INSERT INTO "journal" VALUES('shop-1-good',9,1767225602.0,2,'entered','mirroring','{}','951297fb82b974500e4359dc03978967d70079705445eda4d65d0172643e3f5b','e9ba0400d2f0102b160b804e1df8195726ab196768d92b474cb8be24debc917f');
INSERT INTO "journal" VALUES('shop-1-good',10,1767225602.0,2,'intended','mirror','{"args":{"image":"good","owner":"rollout-manager/shop"},"attempt":1,"seen":{"mark":null,"revision":"r1","weights":{"blue":100,"green":0}},"token":"2e3cf29f0ab4490907212a24e496b5c8"}','e9ba0400d2f0102b160b804e1df8195726ab196768d92b474cb8be24debc917f','0ffc8d94219ab7b894cfa0f14e859c55666f1b4b9169df9d0a23e8e73a7d3480');
INSERT INTO "journal" VALUES('shop-1-good',11,1767225602.0,2,'done','mirror','{"value":null}','0ffc8d94219ab7b894cfa0f14e859c55666f1b4b9169df9d0a23e8e73a7d3480','017bd43def7d9ad93a126074afda3794eed83e9cc80fa4ca6c02f8b90d9a2d63');
INSERT INTO "journal" VALUES('shop-1-good',12,1767225602.0,2,'intended','pin:original','{"args":{"floor":2,"found":0,"slot":"blue"},"attempt":1,"seen":{"mark":null,"revision":"r1","weights":{"blue":100,"green":0}},"token":"752c92121df58f1c00317d4b3086e24a"}','017bd43def7d9ad93a126074afda3794eed83e9cc80fa4ca6c02f8b90d9a2d63','8516ea7fcf33c8b9c371008605f33d47c1fc9f04f594d171874762ed46f647c5');
INSERT INTO "journal" VALUES('shop-1-good',13,1767225602.0,2,'done','pin:original','{"value":null}','8516ea7fcf33c8b9c371008605f33d47c1fc9f04f594d171874762ed46f647c5','68ead443524980e773e87c92c325b4f42da0dc85d8dc57e306111e5382384890');
INSERT INTO "journal" VALUES('shop-1-good',14,1767225602.0,2,'entered','patching','{}','68ead443524980e773e87c92c325b4f42da0dc85d8dc57e306111e5382384890','227f9f9df315e87ab623f615e1defa6628bdc452e7fc31e21cf4df9656db2241');
INSERT INTO "journal" VALUES('shop-1-good',15,1767225602.0,2,'intended','patch','{"args":{"patch":{"images":{"memory":"good"},"provenance":{"image":"good","source":"simulated cloud"},"reference":"good"}},"attempt":1,"seen":{"mark":null,"revision":"r1","weights":{"blue":100,"green":0}},"token":"3347645df77007577e8a592b013087aa"}','227f9f9df315e87ab623f615e1defa6628bdc452e7fc31e21cf4df9656db2241','fea4a6d26aa5a7864f42a78d968789e0a107e28e1bad9b9144a270187fc588e3');
CREATE TABLE news (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL, service TEXT NOT NULL,
        rollout TEXT NOT NULL, seq INTEGER NOT NULL, data TEXT NOT NULL);
CREATE TABLE rollouts (
        id TEXT PRIMARY KEY, service TEXT NOT NULL, key TEXT, plan TEXT NOT NULL, plan_hash TEXT NOT NULL,
        actor TEXT NOT NULL, reason TEXT NOT NULL, opened_at REAL NOT NULL, phase TEXT NOT NULL,
        outcome TEXT NOT NULL, closed_at REAL, head_seq INTEGER NOT NULL, head_hash TEXT NOT NULL,
        due_at REAL NOT NULL, pruned_at REAL);
INSERT INTO "rollouts" VALUES('shop-1-good','shop',NULL,'{"app_version":null,"approval":"none","capacity":2,"coexist":"safe","deadlines":{"approval":300.0,"drain_limit":20.0,"drained":20.0,"gate":120.0,"healthy":60.0,"observed":40.0,"patch":120.0,"preflight":60.0,"running":60.0},"gates":{"bake":{"checks":[{"label":"balancer","name":"balancer","options":{}},{"label":"failed_responses","name":"failed_responses","options":{}}],"rule":{"deadline_s":60.0,"failures":2,"interval_s":2.0,"passes":2,"soak_s":2.0,"unknown_limit_s":20.0}},"live":{"checks":[{"label":"balancer","name":"balancer","options":{}},{"label":"failed_responses","name":"failed_responses","options":{}}],"rule":{"deadline_s":60.0,"failures":2,"interval_s":2.0,"passes":2,"soak_s":2.0,"unknown_limit_s":20.0}},"preflight":{"checks":[{"label":"balancer","name":"balancer","options":{}}],"rule":{"deadline_s":60.0,"failures":2,"interval_s":2.0,"passes":2,"soak_s":2.0,"unknown_limit_s":20.0}},"replacement":{"checks":[{"label":"balancer","name":"balancer","options":{}},{"label":"fidelity","name":"fidelity","options":{}}],"rule":{"deadline_s":60.0,"failures":2,"interval_s":2.0,"passes":2,"soak_s":2.0,"unknown_limit_s":20.0}}},"keep_warm_s":120.0,"made_at":1767225600.0,"notice_s":3600.0,"on_rollback":"drain","original":"blue","original_fingerprint":{"firewall":"fw-shop","flavour":"sim.small","network":"sim-net"},"original_image":"base-1","patch":{"images":{"memory":"good"},"provenance":{"image":"good","source":"simulated cloud"},"reference":"good"},"provider":"memory","rollback_while_warm":false,"service":{"name":"shop","options":{}},"settle_s":2.0,"steps":[50,100],"story":2}','c649e000c24ee758e2cb89602579e053c67cf11f391b740252f85dc024f2dd81','person','',1767225600.0,'patching','running',NULL,15,'fea4a6d26aa5a7864f42a78d968789e0a107e28e1bad9b9144a270187fc588e3',1767225602.0,NULL);
CREATE TABLE servers (
        name TEXT PRIMARY KEY, holder TEXT NOT NULL, since REAL NOT NULL, seen_at REAL NOT NULL);
CREATE TABLE services (
        name TEXT PRIMARY KEY, epoch INTEGER NOT NULL DEFAULT 0, holder TEXT, lease_expires_at REAL);
INSERT INTO "services" VALUES('shop',2,'{"boot":"an earlier boot","host":"elsewhere","pid":1,"started":"1"}',1767225612.0);
CREATE TABLE waits (
        rollout TEXT PRIMARY KEY REFERENCES rollouts, step TEXT NOT NULL, started_at REAL NOT NULL,
        deadline_at REAL, due_at REAL NOT NULL, state TEXT NOT NULL);
CREATE UNIQUE INDEX claims ON rollouts (service) WHERE closed_at IS NULL;
CREATE UNIQUE INDEX keys ON rollouts (service, key) WHERE key IS NOT NULL;
CREATE INDEX due ON rollouts (due_at) WHERE closed_at IS NULL;
CREATE INDEX due_deliveries ON deliveries (due_at) WHERE state = 'due';
DELETE FROM "sqlite_sequence";
COMMIT;
