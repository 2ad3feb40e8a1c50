"""One open video file: when its pictures are shown, and each of them exactly.

packets -> when each picture is shown -> seek to a key picture -> decode -> RGB

A picture is found by its presentation timestamp, never by counting at an average rate. Where a file
keeps none (AVI, ASF) or wrong ones, pictures are counted by the packets that the decoder has taken.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from core.errors import UnreadableVideo
from core.isolated import alive
from core.timeline import Timeline

SKIPPING = frozenset({"h264", "hevc"})  # decoders that can be told for each packet what to skip
NEAR = 4  # pictures: a seek costs about as much as decoding so many
STAND_IN_S = 1.0  # a picture that cannot be decoded is replaced by one so near, as players do
REORDERED = 16  # pictures at most between the order of decoding and that of showing (H.264, A.3)
NO_PTS = frozenset({"avi", "asf"})  # their packets say when to decode, not when to show
SEEKS_BY_PTS = ("mov", "matroska")  # others seek by the time of decoding
UNKNOWN_FPS = 25  # where a file says neither times nor a rate
_NOWHERE = 1 << 62  # beyond every rank and stamp
SHOWN_VP8 = 0x10  # bit of a VP8 packet that is set if its picture is shown (RFC 6386, Sec. 9.1)


def open_container(path: Path) -> Any:
    """PyAV's container of a file."""
    return av.open(str(path.absolute()))  # a bare name "12:30.mp4" would be taken for a protocol


def picture_stream(path: Path, container: Any) -> Any:
    """The video stream.  Raises: UnreadableVideo: if there is none, or no decoder for it."""
    stream = container.streams.best("video")
    if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
        kinds = " and ".join(sorted({each.type for each in container.streams}))
        raise UnreadableVideo(path, f"it holds no pictures, only {kinds or 'a header'}")
    if stream.codec_context is None:
        raise UnreadableVideo(path, "no decoder knows its codec: re-encode it as h264")
    stream.codec_context.thread_count = 1
    return stream


def clock_start(container: Any) -> float:
    """Where a player's clock starts: a transport stream counts from any number, others from 0."""
    flows = container.format.flags & av.format.Flags.ts_discont.value
    return (container.start_time or 0) / av.time_base if flows else 0.0


def is_picture(packet: Any) -> bool:
    """Whether a packet holds a picture: an empty one ends a stream or repeats the one before."""
    if not packet.size:
        return False
    return packet.stream.codec_context.name != "vp8" or bool(memoryview(packet)[0] & SHOWN_VP8)


@dataclass
class _Packets:
    """The pictures' packets in the order of decoding: stamps in the stream's unit of time."""

    pts: list[int | None]
    dts: list[int | None]
    durations: list[int]
    discard: list[bool]
    keys: list[int]  # places of the pictures that decoding can start at


class _Missed(Exception):
    """The decoder did not give the picture that was sought."""


class _OutOfOrder(Exception):
    """Pictures leave the decoder in an order that their presentation timestamps contradict."""


class OpenVideo:
    """A video whose pictures are asked for by rank."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reformatter = VideoReformatter()
        self._open()
        self._packets = packets = self._read_packets()
        self._by_pts = None not in packets.pts and self._container.format.name not in NO_PTS
        self.timeline = self._timeline()
        self._may_seek = True
        self._delay = 0  # packets that the decoder holds back, where they are counted
        self._index()

    def pictures(self, ranks: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """The pictures at `ranks`, best rising -> (H, W, 3) uint8 RGB, turned as the file says.

        Raises: UnreadableVideo: if neither a picture nor one next to it can be decoded.
        """
        last = self.timeline.num_frames - 1
        for rank in ranks:
            if not 0 <= rank <= last:
                raise UnreadableVideo(self.path, f"picture {rank} is beyond the last one, {last}")
        self._wanted = {self._ranked[rank] for rank in ranks} if self._skips else set()
        for rank in ranks:
            yield self._picture(rank)

    def _picture(self, rank: int) -> NDArray[np.uint8]:
        while True:
            try:
                return self._rgb(self._find(rank))
            except _Missed:
                self._may_seek = False  # a seek does not lead where the file says: go through it
                self._at = _NOWHERE
            except _OutOfOrder:
                self._by_pts = False
                self._index()

    def _open(self) -> None:
        self._container = open_container(self.path)
        self._stream = picture_stream(self.path, self._container)

    def _read_packets(self) -> _Packets:
        found = _Packets([], [], [], [], [])
        for packet in self._container.demux(self._stream):
            alive()
            if not is_picture(packet):
                continue
            if packet.is_keyframe:
                found.keys.append(len(found.pts))
            elif not found.keys:
                continue  # recorded from the middle of a broadcast: no picture to start decoding at
            found.pts.append(packet.pts)
            found.dts.append(packet.dts)
            found.durations.append(packet.duration or 0)
            found.discard.append(packet.is_discard)
        if all(found.discard):  # none at all, or an edit list that shows none
            raise UnreadableVideo(self.path, "it holds no picture that can be decoded")
        return found

    def _stamps(self) -> list[int]:
        """Of the shown pictures, rising; none if the file has none."""
        packets = self._packets
        stamps = packets.pts if self._by_pts else packets.dts
        if None in stamps:
            return []
        shown = zip(stamps, packets.discard, strict=True)
        return sorted({stamp for stamp, discard in shown if stamp is not None and not discard})

    def _timeline(self) -> Timeline:
        unit = float(self._stream.time_base)
        if stamps := self._stamps():
            times = np.array(stamps) * unit - clock_start(self._container)
        else:
            rate = self._stream.average_rate or self._stream.guessed_rate or UNKNOWN_FPS
            times = np.arange(len(self._packets.pts)) / float(rate)
        by_stamp = zip(self._packets.pts, self._packets.durations, strict=True)
        last_s = max(by_stamp, key=lambda pair: pair[0] or 0)[1] * unit
        if not last_s:
            last_s = float(np.median(np.diff(times))) if len(times) > 1 else 1 / UNKNOWN_FPS
        end_s = float(times[-1]) + last_s
        rate = float(self._stream.average_rate or 0)
        return Timeline(self.path, times, end_s, self._damage(), rate)

    def _damage(self) -> str | None:
        entries = self._stream.index_entries
        cut = len(entries) and entries[-1].pos + entries[-1].size > self.path.stat().st_size
        return "the file is cut short: pictures of its index lie beyond its end" if cut else None

    def _index(self) -> None:
        """Prepare for finding pictures: what their stamps are, where decoding can start."""
        self._at, self._delay = _NOWHERE, 0
        self._now: Any = None
        stamps = self._packets.pts if self._by_pts else self._packets.dts
        self._ranked = self._stamps()
        self._skips = self._by_pts and self._stream.codec_context.name in SKIPPING
        if not self._ranked:
            self._may_seek = False
            return
        name = self._container.format.name
        targets = self._packets.pts if name.startswith(SEEKS_BY_PTS) else self._packets.dts
        keys = [(stamps[place], targets[place]) for place in self._packets.keys]
        self._keys = sorted((a or 0, a if b is None else b) for a, b in keys)
        if not self._by_pts:
            self._start(None)
            first = next(self._decoded, None)
            self._delay = first[0] if first else 0
            self._at = _NOWHERE

    def _find(self, rank: int) -> Any:
        """The frame at `rank`, or the one that is shown for it if it cannot be decoded."""
        key = self._key_before(rank) if self._may_seek else None
        target = None if key is None else key[1]
        if self._at > rank or (key is not None and key[0] > self._at + NEAR):
            self._start(target)
        before = self._go_to(rank)
        if self._at > rank and self._skips and self._ranked[rank] in self._unwanted:
            self._start(target)  # an earlier request had no need of it
            before = self._go_to(rank)
        if self._at == rank and not (self._may_seek and self._now.is_corrupt):
            return self._now
        if self._may_seek:
            raise _Missed
        near, frame = before or (self._at, self._now)
        times = self.timeline.times
        if frame is None or abs(times[min(near, len(times) - 1)] - times[rank]) > STAND_IN_S:
            raise UnreadableVideo(self.path, f"nothing can be decoded at {times[rank]:.2f} s")
        return frame

    def _go_to(self, rank: int) -> tuple[int, Any] | None:
        """Decode until `rank` is reached or passed; return what was shown before that."""
        before: tuple[int, Any] | None = None
        while self._at < rank:
            if self._now is not None:
                before = self._at, self._now
            self._at, self._now = next(self._decoded, (_NOWHERE, None))
        return before

    def _key_before(self, rank: int) -> tuple[int, int | None] | None:
        """Rank of the last picture before that decoding can start at, and where to seek for it."""
        stamp = self._ranked[max(0, rank - (REORDERED if self._delay else 0))]
        place = bisect_right(self._keys, (stamp, _NOWHERE)) - 1
        if place < 0:
            return None
        stamp, target = self._keys[place]
        return bisect_left(self._ranked, stamp), target

    def _start(self, target: int | None) -> None:
        """Decode from a key picture on, None: from the file's start."""
        self._sought = target is not None
        if target is None:
            self._container.close()
            self._open()
        else:
            try:
                self._container.seek(target, stream=self._stream)
            except av.FFmpegError:
                raise _Missed from None
        self._at, self._now = -1, None
        self._unwanted: set[int] = set()
        self._decoded = self._decode()

    def _decode(self) -> Iterator[tuple[int, Any]]:
        rank = -1
        for packet in self._container.demux(self._stream):
            alive()
            ends = packet.pts is None and packet.dts is None
            if not packet.size and not ends:
                continue  # it repeats the picture before; to the decoder it would mean the end
            if self._skips and not ends:
                self._skip_unless_wanted(packet.pts)
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue  # as players do; whoever needs the picture is told that it is missing
            for frame in frames:
                rank = self._rank(frame, rank)
                yield rank, frame

    def _skip_unless_wanted(self, pts: int) -> None:
        """Let the decoder skip a picture that nobody wants and no other picture builds upon."""
        wanted = pts in self._wanted
        self._stream.codec_context.skip_frame = "DEFAULT" if wanted else "NONREF"
        if not wanted:
            self._unwanted.add(pts)

    def _rank(self, frame: Any, previous: int) -> int:
        stamp = frame.pts if self._by_pts else frame.dts
        if stamp is None or not self._ranked:
            if previous < 0 and self._sought:
                raise _Missed
            return previous + 1
        rank = bisect_right(self._ranked, stamp) - 1 - self._delay
        if self._by_pts and rank < previous:
            raise _OutOfOrder
        return rank

    def _rgb(self, frame: Any) -> NDArray[np.uint8]:
        turns, rest = divmod(frame.rotation, 90)
        frame = self._reformatter.reformat(frame, format="rgb24", threads=1)
        plane = frame.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        picture = rows[:, : 3 * plane.width].reshape(plane.height, plane.width, 3)
        return picture if rest or not turns else np.ascontiguousarray(np.rot90(picture, turns))
