INSERT INTO events (client, payload) VALUES (:client_id, 'payload of a usual size');
