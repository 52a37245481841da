//! One peer connection that sends one video: protocol by `rtc`, which knows no sockets; socket and clock here.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use rtc::interceptor::Registry;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::interceptor_registry::{configure_nack, configure_rtcp_reports};
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_VP8, MediaEngine};
use rtc::peer_connection::event::RTCPeerConnectionEvent as Event;
use rtc::peer_connection::message::RTCMessage;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::RTCPeerConnectionState as State;
use rtc::peer_connection::transport::{
    CandidateConfig, CandidateHostConfig, RTCIceCandidate, RTCIceCandidateInit,
};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp::codec::vp8::Vp8Payloader;
use rtc::rtp::header::Header;
use rtc::rtp::packet::Packet;
use rtc::rtp::packetizer::Payloader;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpSenderId, RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use tokio::net::UdpSocket;
use tokio::time::sleep_until;

const PAYLOAD_TYPE: u8 = 96;
pub const CLOCK_RATE: u32 = 90_000;
/// Room for the headers of RTP and for SRTP's tag.
const OVERHEAD: usize = 40;

/// What a peer has noticed.
#[derive(Debug, PartialEq, Eq)]
pub enum Noticed {
    Connected,
    KeyframeAsked,
    /// The other side has closed, or nothing has been heard of it for long.
    Gone(&'static str),
}

pub struct Peer {
    connection: RTCPeerConnection,
    socket: UdpSocket,
    local: SocketAddr,
    sender: RTCRtpSenderId,
    payloader: Vp8Payloader,
    packet_size: usize,
    ssrc: u32,
    sequence: u16,
    received: Vec<u8>,
}

impl Peer {
    pub async fn new(address: IpAddr, packet_size: usize) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((address, 0))
            .await
            .with_context(|| format!("no UDP port of {address}"))?;
        let local = socket.local_addr()?;
        let codec = vp8();
        let mut engine = MediaEngine::default();
        engine.register_codec(codec.clone(), RtpCodecKind::Video)?;
        let registry = configure_rtcp_reports(configure_nack(Registry::new(), &mut engine));
        let mut connection = RTCPeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .build(Instant::now())?;
        let ssrc = rand::random();
        let coding = RTCRtpCodingParameters {
            ssrc: Some(ssrc),
            ..Default::default()
        };
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: coding,
            codec: codec.rtp_codec,
            ..Default::default()
        };
        let name = || "video".to_owned();
        let track = MediaStreamTrack::new(name(), name(), name(), RtpCodecKind::Video, vec![encoding]);
        // A publisher only sends: the server refuses what would also receive.
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            streams: Vec::new(),
            send_encodings: Vec::new(),
        };
        let sender = connection.add_transceiver_from_track(track, Some(init))?.into();
        let received = vec![0; 2048];
        let (payloader, sequence) = (Vp8Payloader::default(), rand::random());
        Ok(Self {
            connection,
            socket,
            local,
            sender,
            payloader,
            packet_size,
            ssrc,
            sequence,
            received,
        })
    }

    /// An offer with the one candidate that there is inside.
    pub fn offer(&mut self) -> anyhow::Result<String> {
        let offer = self.connection.create_offer(None)?;
        self.connection.set_local_description(Instant::now(), offer)?;
        let base_config = CandidateConfig {
            network: "udp".to_owned(),
            address: self.local.ip().to_string(),
            port: self.local.port(),
            component: 1,
            ..Default::default()
        };
        let candidate = CandidateHostConfig {
            base_config,
            ..Default::default()
        }
        .new_candidate_host()?;
        self.connection
            .add_local_candidate(RTCIceCandidate::from(&candidate).to_json()?)?;
        let described = self
            .connection
            .local_description()
            .context("there is no local description")?;
        Ok(described.sdp)
    }

    pub fn accept(&mut self, answer: String) -> anyhow::Result<()> {
        let answer = RTCSessionDescription::answer(answer).context("the answer cannot be read")?;
        self.connection
            .set_remote_description(Instant::now(), answer)
            .context("the answer is not taken")
    }

    pub fn add_candidate(&mut self, candidate: String) -> anyhow::Result<()> {
        let init = RTCIceCandidateInit {
            candidate,
            sdp_mline_index: Some(0),
            ..Default::default()
        };
        self.connection
            .add_remote_candidate(init)
            .context("the candidate is not taken")
    }

    /// Sends a picture.
    pub fn send(&mut self, frame: &Bytes, timestamp: u32) -> anyhow::Result<()> {
        let payloads = self.payloader.payload(self.packet_size - OVERHEAD, frame)?;
        let last = payloads.len().saturating_sub(1);
        for (number, payload) in payloads.into_iter().enumerate() {
            let header = Header {
                version: 2,
                marker: number == last,
                payload_type: PAYLOAD_TYPE,
                sequence_number: self.sequence,
                timestamp,
                ssrc: self.ssrc,
                ..Default::default()
            };
            self.sequence = self.sequence.wrapping_add(1);
            let mut sender = self
                .connection
                .rtp_sender(self.sender)
                .context("the sender is gone")?;
            sender.write_rtp(Instant::now(), Packet { header, payload })?;
        }
        self.flush();
        Ok(())
    }

    /// Sends what waits to be sent. What the kernel has no room for is lost, as on any network.
    pub fn flush(&mut self) {
        while let Some(datagram) = self.connection.poll_write() {
            self.socket
                .try_send_to(&datagram.message, datagram.transport.peer_addr)
                .ok();
        }
    }

    /// What has happened since the last call.
    pub fn noticed(&mut self) -> Vec<Noticed> {
        let mut noticed = Vec::new();
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::OnConnectionStateChangeEvent(State::Connected) => noticed.push(Noticed::Connected),
                Event::OnConnectionStateChangeEvent(State::Failed) => noticed.push(Noticed::Gone("failed")),
                Event::OnConnectionStateChangeEvent(State::Closed) => noticed.push(Noticed::Gone("closed")),
                _ => {}
            }
        }
        while let Some(message) = self.connection.poll_read() {
            let RTCMessage::RtcpPacket(_, packets) = message.message else {
                continue;
            };
            let asks = packets.iter().any(|packet| {
                packet.as_any().is::<PictureLossIndication>() || packet.as_any().is::<FullIntraRequest>()
            });
            if asks {
                noticed.push(Noticed::KeyframeAsked);
            }
        }
        noticed
    }

    /// Waits for a datagram or for the next moment at which something is to be done. Nothing is lost when it is dropped.
    pub async fn wait(&mut self) -> anyhow::Result<()> {
        let next = self
            .connection
            .poll_timeout()
            .unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
        tokio::select! {
            received = self.socket.recv_from(&mut self.received) => {
                // An ICMP error of an earlier datagram: the other side is gone, as its silence will tell.
                let Ok((length, peer_addr)) = received else { return Ok(()) };
                let transport = TransportContext {
                    local_addr: self.local,
                    peer_addr,
                    ecn: None,
                    transport_protocol: TransportProtocol::UDP,
                };
                let message = BytesMut::from(&self.received[..length]);
                self.connection.handle_read(TaggedBytesMut { now: Instant::now(), transport, message })?;
            }
            () = sleep_until(next.into()) => self.connection.handle_timeout(Instant::now())?,
        }
        Ok(())
    }

    /// Says goodbye by DTLS.
    pub fn close(mut self) -> anyhow::Result<()> {
        self.connection.close()?;
        self.flush();
        Ok(())
    }
}

fn vp8() -> RTCRtpCodecParameters {
    let feedback = |(typ, parameter): (&str, &str)| RTCPFeedback {
        typ: typ.to_owned(),
        parameter: parameter.to_owned(),
    };
    let rtp_codec = RTCRtpCodec {
        mime_type: MIME_TYPE_VP8.to_owned(),
        clock_rate: CLOCK_RATE,
        channels: 0,
        sdp_fmtp_line: String::new(),
        rtcp_feedback: [("nack", ""), ("nack", "pli"), ("ccm", "fir")]
            .map(feedback)
            .to_vec(),
    };
    RTCRtpCodecParameters {
        rtp_codec,
        payload_type: PAYLOAD_TYPE,
    }
}
