//! Signing in.

use bytes::Bytes;
use postgres_protocol::authentication::{
    md5_hash,
    sasl::{ChannelBinding, ScramSha256},
};

use super::{Frame, Wire, messages};
use crate::Endpoint;

impl Wire {
    /// Connects and signs in.
    ///
    /// # Panics
    /// When the peer refuses.
    pub async fn login(endpoint: &Endpoint) -> Wire {
        let mut wire = Wire::connect(endpoint.addr).await;
        let frames = wire.sign_in(endpoint, &[]).await;
        assert_eq!(
            frames.last().map(|frame| frame.tag),
            Some(b'Z'),
            "not signed in: {frames:?}"
        );
        wire
    }

    /// Sends the startup with further parameters and does what the peer asks for; gives every frame that came, up to
    /// ReadyForQuery or the end of the connection. What a server draws at random is left out of the frames.
    pub async fn sign_in(&mut self, endpoint: &Endpoint, params: &[(&str, &str)]) -> Vec<Frame> {
        let named = [
            ("user", endpoint.user.as_str()),
            ("database", endpoint.database.as_str()),
        ];
        let params: Vec<_> = named.into_iter().chain(params.iter().copied()).collect();
        self.send(&[messages::startup(&params)]).await;
        let mut frames = Vec::new();
        let mut scram = None;
        while let Some(frame) = self.try_frame().await {
            match frame.tag {
                b'R' => frames.push(self.authenticate(endpoint, &frame, &mut scram).await),
                b'K' => {
                    self.key_data = frame.body.clone();
                    frames.push(frame);
                }
                b'Z' => {
                    frames.push(frame);
                    break;
                }
                _ => frames.push(frame),
            }
        }
        frames
    }

    /// Answers one request for authentication; gives the request without its random part.
    async fn authenticate(
        &mut self,
        endpoint: &Endpoint,
        frame: &Frame,
        scram: &mut Option<ScramSha256>,
    ) -> Frame {
        let password = endpoint.password.as_bytes();
        let (kind, data) = frame.body.split_at(4);
        match kind[3] {
            3 => self.send(&[messages::password(password)]).await,
            5 => {
                let hash = md5_hash(endpoint.user.as_bytes(), password, data.try_into().unwrap());
                self.send(&[messages::password(hash.as_bytes())]).await;
            }
            10 => {
                let first = ScramSha256::new(password, ChannelBinding::unsupported());
                let length = u32::try_from(first.message().len()).unwrap().to_be_bytes();
                let body = [b"SCRAM-SHA-256\0", &length[..], first.message()].concat();
                *scram = Some(first);
                self.send(&[messages::message(b'p', &body)]).await;
                return frame.clone();
            }
            11 => {
                let scram = scram.as_mut().expect("SASL goes on that never began");
                scram.update(data).unwrap();
                self.send(&[messages::message(b'p', scram.message())]).await;
            }
            12 => scram
                .as_mut()
                .expect("SASL ends that never began")
                .finish(data)
                .unwrap(),
            0 => {}
            other => panic!("authentication request {other} is not known"),
        }
        Frame {
            tag: b'R',
            body: Bytes::copy_from_slice(kind),
        }
    }
}
