import './style.css';
import './view/stage.css';
import './view/panel.css';
import './view/dashboard.css';
import { SightlineApp } from './view/app';

customElements.define('sightline-app', SightlineApp);
