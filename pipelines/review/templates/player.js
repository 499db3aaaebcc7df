// Sounds of one length on one clock: all of them run, and one is heard.
const FADE_S = 0.008;
const LEAD_S = 0.02;

export class Player {
  constructor(onEnd) {
    this.onEnd = onEnd;
    this.context = new AudioContext({ sampleRate: 44100 });
    this.buffers = {};
    this.running = null;
    this.offset = 0;
    this.heard = "mixture";
  }

  decode(data) {
    return this.context.decodeAudioData(data);
  }

  // Take other sounds, by name; playing stops.
  load(buffers) {
    this.pause();
    this.buffers = buffers;
    this.offset = 0;
  }

  get duration() {
    return Math.max(0, ...Object.values(this.buffers).map((buffer) => buffer.duration));
  }

  get playing() {
    return this.running !== null;
  }

  get position() {
    if (!this.running) return this.offset;
    const elapsed = Math.max(0, this.context.currentTime - this.running.at);
    return Math.min(this.duration, this.offset + elapsed);
  }

  async play() {
    if (this.running || !this.duration) return;
    if (this.context.state !== "running") await this.context.resume();
    if (this.running) return;
    if (this.offset >= this.duration - 0.05) this.offset = 0;
    const at = this.context.currentTime + LEAD_S;
    const voices = {};
    for (const [name, buffer] of Object.entries(this.buffers)) {
      const source = new AudioBufferSourceNode(this.context, { buffer });
      const gain = new GainNode(this.context, { gain: name === this.heard ? 1 : 0 });
      source.connect(gain).connect(this.context.destination);
      source.start(at, this.offset);
      voices[name] = { source, gain };
    }
    const running = { at, voices };
    this.running = running;
    const [longest] = Object.keys(this.buffers).sort(
      (a, b) => this.buffers[b].duration - this.buffers[a].duration);
    voices[longest].source.onended = () => {
      if (this.running !== running) return;
      this.pause();
      this.offset = this.duration;
      this.onEnd();
    };
  }

  pause() {
    if (!this.running) return;
    this.offset = this.position;
    const { voices } = this.running;
    this.running = null;
    for (const { source, gain } of Object.values(voices)) {
      source.stop();
      source.disconnect();
      gain.disconnect();
    }
  }

  async seek(position) {
    const playing = this.playing;
    this.pause();
    this.offset = Math.min(Math.max(0, position), this.duration);
    if (playing) await this.play();
  }

  // Hear another sound from where this one is.
  pick(name) {
    this.heard = name;
    for (const [other, { gain }] of Object.entries(this.running?.voices ?? {})) {
      gain.gain.setTargetAtTime(other === name ? 1 : 0, this.context.currentTime, FADE_S);
    }
  }
}
