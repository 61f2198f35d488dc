// Transfers between the page and the workspace, in pieces that fit the socket.
import { MAX_CHUNK, type FileEntry } from "../lib/protocol.ts";
import type { Rpc } from "../lib/rpc.ts";
import { basename, bytes } from "../lib/text.ts";

const DOWNLOAD_LIMIT = 1024 ** 3;
const UPLOAD_LIMIT = 512 * 1024 ** 2;

export interface Progress {
  (done: number, total: number): void;
}

export interface Piece {
  entry: FileEntry;
  bytes: Uint8Array<ArrayBuffer>;
}

export async function readPiece(rpc: Rpc, path: string, offset: number, length: number): Promise<Piece> {
  const { value, buffers } = await rpc.call<FileEntry>("read", { path, offset, length }, 60_000);
  const view = buffers[0];
  const piece = view ? new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength) : new Uint8Array();
  return { entry: value, bytes: piece };
}

export async function readWhole(rpc: Rpc, path: string, progress: Progress = () => undefined): Promise<Blob> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let have = 0;
  let total: number;
  do {
    const piece = await readPiece(rpc, path, have, MAX_CHUNK);
    total = piece.entry.size;
    if (total > DOWNLOAD_LIMIT) throw new Error(`${basename(path)} has ${bytes(total)}: use session.files.download() for it.`);
    if (!piece.bytes.length) break;
    pieces.push(piece.bytes.slice());
    have += piece.bytes.length;
    progress(have, total);
  } while (have < total);
  return new Blob(pieces);
}

export async function download(rpc: Rpc, path: string, progress: Progress): Promise<void> {
  const url = URL.createObjectURL(await readWhole(rpc, path, progress));
  const link = document.createElement("a");
  link.href = url;
  link.download = basename(path);
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export async function upload(rpc: Rpc, file: File, path: string, progress: Progress): Promise<void> {
  if (file.size > UPLOAD_LIMIT) throw new Error(`${file.name} has ${bytes(file.size)}: use session.files.upload() for it.`);
  const key = [...crypto.getRandomValues(new Uint32Array(4))].join("-");
  let offset = 0;
  do {
    const chunk = await file.slice(offset, offset + MAX_CHUNK).arrayBuffer();
    const last = offset + chunk.byteLength >= file.size;
    await rpc.call("upload", { path, upload: key, offset, last }, 120_000, [chunk]);
    offset += chunk.byteLength;
    progress(offset, file.size);
  } while (offset < file.size);
}
